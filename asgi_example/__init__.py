"""The example project, and what `make demo` and `make demo-full` run."""
