"""Many files: inputs, jobs, the results cache, and executors (this process, several, a Dask cluster)."""
