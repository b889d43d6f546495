"""The account: the only room that knows boto3. Reads what is there as plain data, and does one thing at a time."""
