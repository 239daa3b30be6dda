"""Compare the cost of Job Runners with that of boto3 alone, in the same run."""
