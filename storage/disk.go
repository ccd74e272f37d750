package storage

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
)

// disk is what [DirBlobs] asks of a file system. A change of a file is durable
// once the file is synced, that of a name once its directory is; what is not may
// be lost in a crash of the machine, each change by itself.
type disk interface {
	CreateTemp(dir, pattern string) (tempFile, error)
	Open(name string) (diskFile, error)
	Stat(name string) (fs.FileInfo, error)
	Lstat(name string) (fs.FileInfo, error)
	Link(old, name string) error
	Rename(old, name string) error
	Remove(name string) error
	Mkdir(name string) error
	ReadDir(name string) ([]fs.DirEntry, error)
	SyncDir(name string) error
}

type tempFile interface {
	io.Writer
	Name() string
	Sync() error
	Close() error
}

type diskFile interface {
	io.ReaderAt
	Stat() (fs.FileInfo, error)
	Close() error
}

// osDisk is the file system of the machine.
type osDisk struct{}

func (osDisk) CreateTemp(dir, pattern string) (tempFile, error) { return os.CreateTemp(dir, pattern) } // mode 0600
func (osDisk) Open(name string) (diskFile, error)               { return os.Open(name) }
func (osDisk) Stat(name string) (fs.FileInfo, error)            { return os.Stat(name) }
func (osDisk) Lstat(name string) (fs.FileInfo, error)           { return os.Lstat(name) }
func (osDisk) Link(old, name string) error                      { return os.Link(old, name) }
func (osDisk) Rename(old, name string) error                    { return os.Rename(old, name) }
func (osDisk) Remove(name string) error                         { return os.Remove(name) }
func (osDisk) Mkdir(name string) error                          { return os.Mkdir(name, 0o700) }
func (osDisk) ReadDir(name string) ([]fs.DirEntry, error)       { return os.ReadDir(name) }

// SyncDir does nothing on Windows, which has no such call: NTFS logs names.
func (osDisk) SyncDir(name string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
