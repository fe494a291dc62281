// Package report keeps the samples of a benchmark run and prints them: a table of
// medians, ranges and ratios for each scenario, and a table of the goals.
//
// It measures nothing. Figures of different machines are never mixed in one table;
// the head of each table names the machine. Save writes every sample as JSON.
package report
