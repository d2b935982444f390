"""The numbers of Arrow's IPC format that reader and writer share: marks, enumerations, structs."""

MAGIC, MARK = b"ARROW1", b"\xff\xff\xff\xff"
END = MARK + b"\0\0\0\0"
VERSION = 4
"""MetadataVersion V5."""
SCHEMA, DICTIONARY, BATCH = 1, 2, 3
"""MessageHeader."""
INTEGER, FLOATING = 2, 3
"""Type."""
SINGLE, DOUBLE = 1, 2
"""Precision."""
NODE, BUFFER, BLOCK = "<qq", "<qq", "<qi4xq"
