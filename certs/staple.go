package certs

import "context"

func (k *keeper) staple(context.Context) {}
