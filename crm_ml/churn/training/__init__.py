"""Training of a churn model: the rows of each window, what is held out of them, trees and calibration."""
