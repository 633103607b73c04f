"""DRF's validation, compiled: a batch is read column by column.

One rule: a column's reading accepts only values whose result is provably the stock
field's, of the same type. Of every other cell it is UNSURE, and DRF's own field is
asked. Nothing here makes an error.
"""
