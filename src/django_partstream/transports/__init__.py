"""How frames leave. A transport knows frames, neither parts nor jobs."""
