"""A trained generator in a folder of its own, for use without gansearch."""
