"""G and D as a reader of the paper recognises them: layers, initialisation, precision."""
