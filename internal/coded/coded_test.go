package coded_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/coded"
)

func TestClasses(t *testing.T) {
	wide := coded.New("wide", "p: wide")
	fine := coded.Under(wide, "fine", "p: fine")
	require.ErrorIs(t, fine, wide)
	assert.NotErrorIs(t, wide, fine)
	assert.NotErrorIs(t, wide, coded.New("wide", "p: wide"), "a class is its variable, not its code")
	var c interface{ Code() string }
	require.True(t, errors.As(fmt.Errorf("outer: %w", fine), &c))
	assert.Equal(t, "fine", c.Code(), "the finer code comes first")
	assert.EqualError(t, fine, "p: fine")
}
