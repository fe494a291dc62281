// Package quota counts how many of something each holder has at a time: connections of an
// address, clients of a rule.
//
// It limits what is held now. How often somebody may do something is for package bucket.
package quota
