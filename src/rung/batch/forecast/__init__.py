"""What rules would do: standings of all users, candidates over past periods, two versions side by side."""
