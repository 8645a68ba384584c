"""The search: catalog, study, sampler, stopper, and the five commands."""
