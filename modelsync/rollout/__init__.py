"""`modelsync rollout`: checks a new commit, then brings it to all pods of a Deployment, or rolls
back.

`decision` is a pure function to the next step, `verdict` decides whether a commit may be rolled
out, `cluster` is the only module that talks to Kubernetes, `job` is one run. Serving processes
import none of it.
"""
