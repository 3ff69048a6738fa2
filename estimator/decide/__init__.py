"""From estimates to a decision: break-even, combinations, inverse questions, recommendation."""
