"""Simulation: the real engine in a made-up world, driven by one seed; `world` lists what may go wrong in it."""
