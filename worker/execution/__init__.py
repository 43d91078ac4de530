"""From claimed bytes to an outcome. Knows neither Redis nor DynamoDB."""
