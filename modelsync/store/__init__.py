"""The store of trained models: jobs, versions, labels in a database, artefacts there or on S3."""
