"""All that talks to DynamoDB. The only room that imports the AWS SDK."""
