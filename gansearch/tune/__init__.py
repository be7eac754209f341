"""All that imports Ray, and the Optuna study.

Empty but for this, since the settings of `ray_settings` precede the import of Ray.
"""
