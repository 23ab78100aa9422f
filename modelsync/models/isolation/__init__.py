"""Keeps a model from changing the process that runs it, and other models.

All patching of the interpreter is here. `patches` lists what lasts as long as the process, and is
what a process that runs models installs. The rest has a shorter life:

- while a model loads: `process_state.preserved` and `restored_modules`, `plain_names.loading`;
- after each call of a model: `guards.restore_cwd`; in a process that one forks:
  `fork_guard.end_if_forked`; once a second in a worker:
  `process_state.snapshot`;
- in a thread that calls models, as long as it lives: `crash_report.signal_stack`;
- in a worker, until its end: `crash_report.CrashReport.listen`.
"""
