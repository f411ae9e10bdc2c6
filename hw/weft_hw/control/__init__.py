"""Control: registers, fetch, field checks, unit queues, semaphores, run and error state."""
