"""The git repository that is followed: its URL, credentials, mirror, cache and export."""
