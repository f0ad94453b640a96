"""Training, evaluation and calibration of the network: the commands prepare, train and evaluate."""
