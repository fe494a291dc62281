package service

import (
	"context"

	"nexd/control"
	"nexd/service/people"
)

// startDevice starts the device login of a node.
func (s *Service) startDevice(ctx context.Context, in *proved[control.DeviceLoginRequest]) (*body[control.DeviceLogin], error) {
	r := in.Body
	if err := s.prover.check(r.PublicKey, in.Challenge, in.Proof, control.PathDeviceLogin, in.RawBody); err != nil {
		return nil, err
	}
	if err := s.checkPin(ctx, r.ServerPin); err != nil {
		return nil, err
	}
	if err := checkRegistration(control.Registration{Hostname: r.Hostname, OS: r.OS, Version: r.Version, Prefixes: r.Prefixes}); err != nil {
		return nil, err
	}
	login, err := s.people.StartDeviceLogin(ctx, people.DeviceLoginRequest{
		Key: r.PublicKey, Hostname: r.Hostname, OS: r.OS, Version: r.Version, Prefixes: r.Prefixes, From: callerOf(ctx).addr,
	})
	if err != nil {
		return nil, err
	}
	return &body[control.DeviceLogin]{login}, nil
}

// pollDevice tells a waiting node whether a person has approved or denied it.
func (s *Service) pollDevice(ctx context.Context, in *proved[control.DeviceTokenRequest]) (*body[control.DeviceToken], error) {
	r := in.Body
	if err := s.prover.check(r.PublicKey, in.Challenge, in.Proof, control.PathDeviceToken, in.RawBody); err != nil {
		return nil, err
	}
	if err := s.checkPin(ctx, r.ServerPin); err != nil {
		return nil, err
	}
	token, err := s.people.PollDeviceLogin(ctx, r.DeviceCode, r.PublicKey, callerOf(ctx).addr)
	if err != nil {
		return nil, err
	}
	return &body[control.DeviceToken]{token}, nil
}
