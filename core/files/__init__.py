"""Stored files: what people upload and what the system makes for them, private, typed by content, kept for a time.

Public: `operations` (every write), `queries` (every read), `kinds.FILE_KINDS` (what an app keeps files for).
A file has a row (`StoredFile`), written in the business transaction, and bytes in the storage that `STORAGES["files"]`
names. `blobs.py` says how the two stay together whoever dies in between.
"""
