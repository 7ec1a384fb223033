"""GitHub's workflows without GitHub: jobs, steps and conditions as its runner takes them.

    jobs = Runner(WORKFLOW, tmp_path, event="schedule", variables={"MAGPIE_REPO": "ns/name"}).run()
    assert jobs["regenerate"].result == "success"

A script runs for real, in the shell that GitHub gives it; an action (`uses:`) is done by a
stand-in. What is not understood is an error, never skipped.
"""
