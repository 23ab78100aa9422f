"""Tables: rows of requests and training data, with the columns that a version was fitted with."""
