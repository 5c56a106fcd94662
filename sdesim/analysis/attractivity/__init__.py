"""Whether noise makes a set attractive: Lyapunov exponents measured along runs and calculated at a point."""
