"""The tables of jobs, tasks, queues and schedules: the built-in ones and the app's own."""
