"""Live input: streams, growing recordings and capture pipes, watched for their A/V offset."""
