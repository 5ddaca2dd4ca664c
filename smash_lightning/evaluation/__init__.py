"""Does the score predict the ground truth? Tables, coefficients with intervals, comparison with other predictors."""
