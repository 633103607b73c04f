"""JSON, at orjson's speed, with the values of DRF's `JSONEncoder`.

A value goes through orjson, which asks for what it does not write as DRF does. Only
the way to what orjson cannot write, or has written wrongly (it turns NaN into null),
is walked here.

For every value, reading the result gives what reading
`rest_framework.utils.json.dumps(value, cls=JSONEncoder)` gives, or both refuse,
except that

- NaN and the infinities are refused whatever STRICT_JSON says, Decimal's and
  NumPy's too: a silent null would be wrong data;
- a model instance is always refused, an iterable one too;
- containers nested deeper than 254 may be refused (`Encoded` counts as none);
- a lazy string may be a key, as its text; DRF refuses it. Other keys that are not
  str, int, float, bool or None are refused, as by DRF;
- a member of a plain `enum.Enum` is its `value`, also where a mixed-in type has
  another content; DRF refuses plain members and takes the content of mixed ones;
- of two keys with one text, the later is the only one written.

No frame, no transport, no setting is known here.
"""

from .framing import PROGRESS_KEPT, encode_frame
from .rules import Encoded
from .values import encode, encode_as_drf, encode_each, encode_plain

__all__ = (
    "PROGRESS_KEPT",
    "Encoded",
    "encode",
    "encode_as_drf",
    "encode_each",
    "encode_frame",
    "encode_plain",
)
