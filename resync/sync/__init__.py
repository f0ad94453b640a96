"""The answer: which segments are analysed, their scores, the probability curve, and the decision."""
