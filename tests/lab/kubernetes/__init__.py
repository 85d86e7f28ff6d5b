"""The lab's Kubernetes: a real control plane with kwok as kubelet, and an application that behaves by its live objects."""
