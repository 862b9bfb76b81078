"""The AWS gateway: the part of AWS that no emulator gives (it says no), and the pod identity webhook."""
