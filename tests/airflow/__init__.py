"""The DAGs, run by a real Airflow in an environment of its own."""
