"""HTTP: the lane that predicts, the worker that speaks the protocol, and Flask for everything else."""
