"""`modelsync rollout`: brings a new commit to all pods of a Deployment, once it has been checked,
or takes it back.

`decision` says what the next step is (pure), `verdict` whether a commit may be rolled out,
`cluster` is the only module that talks to Kubernetes, `job` is the story. The serving processes
import none of it.
"""
