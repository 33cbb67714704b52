"""Pictures and data sets: reading, checking, downloading, splitting and preprocessing cells."""
