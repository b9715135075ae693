"""Composition: primitives, the context, the combinators, and the engine that runs them."""
