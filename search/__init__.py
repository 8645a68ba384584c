"""The search: catalog, study, sampler, stopper, and the four commands."""
