"""All that imports Ray, and the Optuna study.

It imports nothing, since the settings of `ray_settings` must precede the import of Ray.
"""
