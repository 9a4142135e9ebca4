"""The store at scale: three DynamoDB tables, written user by user with TransactWriteItems."""
