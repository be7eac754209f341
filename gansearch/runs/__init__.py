"""A run's folder: schemas, tables, the lock, trained generators; safe against crashes."""
