"""What every page shares: the table of lessons, the lesson frame, the model the learner reads with, the URL."""
