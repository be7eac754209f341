"""Scripts that measure: `speed/`, `gpu/` and `studies/`; README.md lists them."""
