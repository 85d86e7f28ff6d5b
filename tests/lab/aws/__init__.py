"""The lab's AWS account: moto's server, a network that obeys its security groups, and the public URL behind its load balancer."""
