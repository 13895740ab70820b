"""`billing-bench kernels`: the pure path without servers, in nanoseconds an event."""
