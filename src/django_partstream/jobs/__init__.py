"""Long work that survives anything. Knows a Work port; neither rows nor HTTP."""
