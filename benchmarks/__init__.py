"""Compare the cost of Job Runners with peers: other libraries, or boto3 alone.

Each peer is measured in the same run.
"""
